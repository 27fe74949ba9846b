package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"carillon/client"
	"carillon/internal/config"
	"carillon/models"
)

// The scripts call carillon __complete with the words of the command line, the last of which is the
// one to complete. The answer is one candidate a line: the word, a tab, and what it is.
var (
	//go:embed completion/carillon.bash
	bashScript string
	//go:embed completion/carillon.zsh
	zshScript string
	//go:embed completion/carillon.fish
	fishScript string
)

// completeCommand is how the scripts ask.
const completeCommand = "__complete"

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is shown by carillon completion --help.
func (completionCmd) Help() string {
	return `Commands, flags and their values are completed, and IDs of campaigns, schedules, groups and users: the server is asked for them, as the settings say, for at most two seconds.

    source <(carillon completion bash)                                        # in ~/.bashrc
    source <(carillon completion zsh)                                         # in ~/.zshrc, after compinit
    carillon completion fish > ~/.config/fish/completions/carillon.fish`
}

// Run prints the script.
func (c *completionCmd) Run(a *app) error {
	_, err := fmt.Fprint(a.stdout, map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}[c.Shell])
	return err
}

const (
	askFor  = 2 * time.Second
	offered = 100 // IDs
)

// candidate is a word that may stand where the cursor is.
type candidate struct{ word, what string }

// complete prints the candidates for the last of words. It never fails: without a server there are
// no IDs.
func complete(ctx context.Context, words []string, stdout io.Writer) {
	var c cli
	parser, err := kong.New(&c, append(config.Options(os.LookupEnv), kong.Name("carillon"), kong.Vars{"version": ""})...)
	if err != nil || len(words) == 0 {
		return
	}
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "=" }) // bash cuts --flag=value in three
	l := walk(parser.Model.Node, words[:len(words)-1])
	last := words[len(words)-1]
	prefix := "" // of --flag=value
	if name, value, ok := strings.Cut(last, "="); ok && strings.HasPrefix(name, "-") && l.value == nil {
		l.value, last, prefix = l.flag(name), value, name+"="
	}
	var found []candidate
	switch {
	case l.value != nil:
		found = values(ctx, l.value, l.settings)
	case strings.HasPrefix(last, "-"):
		found = flags(l.node)
	default:
		found = below(l.node)
		if len(l.node.Positional) > l.args {
			found = append(found, values(ctx, l.node.Positional[l.args], l.settings)...)
		}
	}
	for _, one := range found {
		if strings.HasPrefix(one.word, last) && !strings.ContainsAny(one.word, "\t\n") {
			fmt.Fprintf(stdout, "%s%s\t%s\n", prefix, one.word, models.Shown(one.what))
		}
	}
}

// line is where in the commands a command line has come to.
type line struct {
	node     *kong.Node
	value    *kong.Value // of the flag whose value comes next; nil = none
	args     int         // that were given
	settings []string    // the flags that say which server is asked, and how
}

// walk follows the words that stand before the one to complete.
func walk(root *kong.Node, words []string) line {
	l := line{node: root}
	for i := 0; i < len(words); i++ {
		w := words[i]
		if strings.HasPrefix(w, "-") {
			name, text, has := strings.Cut(w, "=")
			v := l.flag(name)
			if v == nil || v.IsBool() {
				continue
			}
			if !has {
				if i+1 == len(words) {
					l.value = v
					return l
				}
				i++
				text = words[i]
			}
			if slices.Contains(asking, v.Name) {
				l.settings = append(l.settings, "--"+v.Name+"="+text)
			}
			continue
		}
		at := slices.IndexFunc(l.node.Children, func(n *kong.Node) bool { return n.Name == w && !n.Hidden })
		if at >= 0 {
			l.node, l.args = l.node.Children[at], 0
		} else {
			l.args++
		}
	}
	return l
}

// asking are the settings that a question to the server needs.
var asking = []string{"config", "server", "token", "token-file", "listen", "data-dir", "database-url", "redis-url", "secret", "secret-file", "admins"}

// flag is the value of a flag such as --status or -n, of the command or of all commands.
func (l *line) flag(name string) *kong.Value {
	for _, group := range l.node.AllFlags(false) {
		for _, f := range group {
			if name == "--"+f.Name || f.Short != 0 && name == "-"+string(f.Short) {
				return f.Value
			}
		}
	}
	return nil
}

func below(n *kong.Node) (list []candidate) {
	for _, child := range n.Children {
		if !child.Hidden {
			list = append(list, candidate{child.Name, child.Help})
		}
	}
	return list
}

// flags are the command's own first. Settings are left out: they are many.
func flags(n *kong.Node) (list []candidate) {
	for ; n != nil; n = n.Parent {
		for _, f := range n.Flags {
			if !f.Hidden && (f.Group == nil || f.Group.Key != "settings" || f.Name == "server" || f.Name == "token") {
				list = append(list, candidate{"--" + f.Name, f.Help})
			}
		}
	}
	return list
}

// values are what a flag or an argument may be.
func values(ctx context.Context, v *kong.Value, settings []string) (list []candidate) {
	for _, one := range v.EnumSlice() {
		if one != "" {
			list = append(list, candidate{word: one})
		}
	}
	kind, status, _ := strings.Cut(v.Tag.Get("complete"), ":")
	if kind == "" {
		return list
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	return append(list, ids(ctx, kind, status, settings)...)
}

// ids asks the server for IDs, newest first.
func ids(ctx context.Context, kind, status string, settings []string) (list []candidate) {
	var c cli
	parser, err := kong.New(&c, append(config.Options(os.LookupEnv), kong.Vars{"version": ""})...)
	if err != nil {
		return nil
	}
	if _, err := parser.Parse(append(settings, "health")); err != nil {
		return nil
	}
	a := &app{ctx: ctx, cfg: &c.Config, stdout: io.Discard, stderr: io.Discard}
	api, err := a.api()
	if err != nil {
		return nil
	}
	defer api.Close()
	n := offered
	switch kind {
	case "campaigns":
		p := client.ListCampaignsParams{Status: given(client.CampaignStatus(status)), Limit: &n}
		return first(api.Campaigns(ctx, p), func(v client.Campaign) candidate {
			return candidate{v.ID, strings.TrimSpace(string(v.Status) + " " + v.Name)}
		})
	case "schedules":
		p := client.ListSchedulesParams{Status: given(client.ScheduleStatus(status)), Limit: &n}
		return first(api.Schedules(ctx, p), func(v client.Schedule) candidate {
			return candidate{v.ID, strings.TrimSpace(string(v.Status) + " " + v.Name)}
		})
	case "groups":
		return first(api.Groups(ctx, client.ListGroupsParams{Limit: &n}), func(v client.Group) candidate { return candidate{v.GroupID, v.Name} })
	case "users":
		return first(api.Users(ctx, client.ListUsersParams{Limit: &n}), func(v client.User) candidate { return candidate{v.UserID, v.Nickname} })
	}
	return nil
}

// first are the first entries of a list. An error ends them.
func first[T any](list iter.Seq2[T, error], as func(T) candidate) (found []candidate) {
	for one, err := range list {
		if err != nil || len(found) == offered {
			break
		}
		found = append(found, as(one))
	}
	return found
}
