package openim

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// User is one of the double's users, as get_users has it.
type User struct {
	UserID           string `json:"userID"`
	Nickname         string `json:"nickname"`
	FaceURL          string `json:"faceURL"`
	Ex               string `json:"ex"`
	CreateTime       int64  `json:"createTime"` // milliseconds
	AppMangerLevel   int    `json:"appMangerLevel"`
	GlobalRecvMsgOpt int    `json:"globalRecvMsgOpt"` // 1 = takes no messages
}

const (
	levelUser  = 1
	levelAdmin = 2
)

// userList is all users in the order of the lists.
type userList struct {
	mu    sync.RWMutex
	byID  map[string]User
	order []string
}

func newUserList(o Options) *userList {
	l := &userList{byID: map[string]User{}}
	for _, id := range o.Admins {
		l.add(User{UserID: id, Nickname: id, AppMangerLevel: levelAdmin})
	}
	for i := range o.Users {
		id := fmt.Sprintf("u%06d", i+1)
		l.add(User{UserID: id, Nickname: fmt.Sprint("User ", i+1), FaceURL: "https://example.org/" + id + ".png"})
	}
	return l
}

// add registers users, or changes those who are there.
func (l *userList) add(users ...User) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range users {
		if u.AppMangerLevel == 0 {
			u.AppMangerLevel = levelUser
		}
		old, there := l.byID[u.UserID]
		if u.CreateTime == 0 {
			u.CreateTime = old.CreateTime
		}
		if u.CreateTime == 0 {
			u.CreateTime = time.Now().UnixMilli()
		}
		l.byID[u.UserID] = u
		if !there {
			l.order = append(l.order, u.UserID)
		}
	}
}

// remove deletes users; those behind them move up.
func (l *userList) remove(ids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		delete(l.byID, id)
	}
	l.order = slices.DeleteFunc(slices.Clone(l.order), func(id string) bool {
		_, there := l.byID[id]
		return !there
	})
}

func (l *userList) has(id string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	_, ok := l.byID[id]
	return ok
}

// ids is everybody, in the order of the lists.
func (l *userList) ids() []string {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Clone(l.order)
}

// page is a page and, after it, shift users gone from the beginning of the list to its end. So the users behind move
// up, as they do when others are removed: who stood first on the next page is missed.
func (l *userList) page(number, size, shift int) (total int, users []User) {
	l.mu.Lock()
	defer l.mu.Unlock()
	total = len(l.order)
	users = []User{}
	if from := (number - 1) * size; number <= total && from < total {
		for _, id := range l.order[from:min(from+size, total)] {
			users = append(users, l.byID[id])
		}
	}
	if shift = min(shift, total); shift > 0 {
		l.order = append(l.order[shift:], l.order[:shift]...)
	}
	return total, users
}

type pagination struct {
	Pagination *struct {
		PageNumber int `json:"pageNumber"`
		ShowNumber int `json:"showNumber"`
	} `json:"pagination"`
}

// read is the page that a request asks for.
func (d *Double) read(c *call) (total int, users []User, a answer) {
	var in pagination
	if a = bind(c.body, &in); a.code != 0 {
		return 0, nil, a
	}
	if in.Pagination == nil || in.Pagination.PageNumber < 1 || in.Pagination.ShowNumber < 1 {
		return 0, nil, unbound("pagination is required")
	}
	if a = c.permitted(); a.code != 0 {
		return 0, nil, a
	}
	total, users = d.users.page(in.Pagination.PageNumber, in.Pagination.ShowNumber, c.how.Shift)
	c.line().Page, c.line().Listed = in.Pagination.PageNumber, len(users)
	return total, users, answer{}
}

func (d *Double) allIDs(c *call) answer {
	total, users, a := d.read(c)
	if a.code != 0 {
		return a
	}
	ids := make([]string, len(users))
	for i, u := range users {
		ids[i] = u.UserID
	}
	return answer{data: map[string]any{"total": total, "userIDs": ids}}
}

func (d *Double) page(c *call) answer {
	total, users, a := d.read(c)
	if a.code != 0 {
		return a
	}
	for i := range users {
		if f := c.how.nature(users[i].UserID); f != nil && f.Kind == Refuses {
			users[i].GlobalRecvMsgOpt = 1
		}
	}
	return answer{data: map[string]any{"total": total, "users": users}}
}

func (d *Double) accountCheck(c *call) answer {
	var in struct {
		IDs []string `json:"checkUserIDs"`
	}
	if a := bind(c.body, &in); a.code != 0 {
		return a
	}
	if in.IDs == nil {
		return unbound("checkUserIDs is required")
	}
	if a := c.permitted(); a.code != 0 {
		return a
	}
	type result struct {
		UserID string `json:"userID"`
		Status int    `json:"accountStatus"`
	}
	results := make([]result, len(in.IDs))
	for i, id := range in.IDs {
		results[i] = result{UserID: id}
		if d.exists(c.how, id) {
			results[i].Status = 1
		}
	}
	return answer{data: map[string]any{"results": results}}
}

// exists says whether messages find a user.
func (d *Double) exists(how *behaviour, id string) bool {
	f := how.nature(id)
	return d.users.has(id) && (f == nil || f.Kind != Unknown)
}

func (d *Double) onlineStatus(c *call) answer {
	var in struct {
		IDs []string `json:"userIDs"`
	}
	if a := bind(c.body, &in); a.code != 0 {
		return a
	}
	if in.IDs == nil {
		return unbound("userIDs is required")
	}
	if a := c.permitted(); a.code != 0 {
		return a
	}
	type device struct {
		Platform string `json:"platform"`
		Status   int    `json:"status"`
		Token    string `json:"token"` // of the user: the real server hands it out here
	}
	type result struct {
		UserID  string   `json:"userID"`
		Status  int      `json:"status"`
		Devices []device `json:"detailPlatformStatus"`
	}
	results := make([]result, len(in.IDs))
	for i, id := range in.IDs {
		results[i] = result{UserID: id, Devices: []device{}}
		if d.users.has(id) && c.how.online(id) {
			results[i].Status, results[i].Devices = 1, []device{{"iOS", 1, "token-of-" + id}}
		}
	}
	return answer{data: results}
}
