package models

import (
	"context"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"
)

// NamesOf reads the names of campaigns and schedules by their public IDs. What does not exist, and what has no name, is left
// out.
func (s *Store) NamesOf(ctx context.Context, publicIDs []string) (map[string]string, error) {
	known := slices.DeleteFunc(slices.Clone(publicIDs), func(id string) bool { return !isPublicID(id) })
	slices.Sort(known)
	names := map[string]string{}
	for some := range slices.Chunk(slices.Compact(known), 500) {
		for _, table := range []string{pauseCampaigns, pauseSchedules} {
			var rows []Named
			err := s.db.WithContext(ctx).Raw("SELECT public_id, name FROM "+table+" WHERE public_id IN ? AND name<>''", some).Scan(&rows).Error
			if err != nil {
				return nil, err
			}
			for _, row := range rows {
				names[row.PublicID] = row.Name
			}
		}
	}
	return names, nil
}

// Numbered reads the public IDs and the names of campaigns by their internal numbers. Those that do not exist are left out.
func (s *Store) Numbered(ctx context.Context, ids []int64) (map[int64]Named, error) {
	found := make(map[int64]Named, len(ids))
	for some := range slices.Chunk(ids, 500) {
		var rows []struct {
			ID int64
			Named
		}
		err := s.db.WithContext(ctx).Raw("SELECT id, public_id, name FROM campaigns WHERE id IN ?", some).Scan(&rows).Error
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			found[row.ID] = row.Named
		}
	}
	return found, nil
}

// searchedNames is among how many of the newest campaigns or schedules a part of a name is looked for. No index has the parts of
// names, so this bounds what a search reads.
const searchedNames = 10_000

// FindNamed finds campaigns and schedules whose public ID or name begins with a text, and then those of the newest 10,000 whose
// name holds it, up to limit of each. Upper and lower case differ in the beginning of a name. Deleted schedules are left out. An
// empty text finds nothing.
func (s *Store) FindNamed(ctx context.Context, text string, limit int) (campaigns, schedules []Named, err error) {
	if text == "" {
		return nil, nil, nil
	}
	for _, one := range []struct {
		table, where string
		found        *[]Named
	}{{pauseCampaigns, "", &campaigns}, {pauseSchedules, " AND status<>'" + string(ScheduleDeleted) + "'", &schedules}} {
		if *one.found, err = s.findNamed(ctx, one.table, one.where, text, limit); err != nil {
			return nil, nil, err
		}
	}
	return campaigns, schedules, nil
}

func (s *Store) findNamed(ctx context.Context, table, where, text string, limit int) (found []Named, err error) {
	columns := "SELECT public_id, name FROM " + table + " WHERE "
	if id := strings.ToUpper(text); mayBeginID(id) {
		err = s.db.WithContext(ctx).Raw(columns+"public_id BETWEEN ? AND ?"+where+" ORDER BY public_id LIMIT ?", id, id+"~", limit).Scan(&found).Error
		if err != nil {
			return nil, err
		}
	}
	add := func(query string, args ...any) error {
		var more []Named
		if len(found) >= limit {
			return nil
		}
		err := s.db.WithContext(ctx).Raw(query, args...).Scan(&more).Error
		for _, one := range more {
			if !slices.Contains(found, one) {
				found = append(found, one)
			}
		}
		return err
	}
	if err = add(columns+"name BETWEEN ? AND ?"+where+" ORDER BY name LIMIT ?", text, lastName(text), limit); err == nil {
		err = add(columns+"id > (SELECT COALESCE(MAX(id),0) FROM "+table+") - ? AND name"+s.d.anyCase+" LIKE ? ESCAPE '!'"+where+" ORDER BY id DESC LIMIT ?",
			searchedNames, "%"+likeText.Replace(text)+"%", limit)
	}
	return found[:min(limit, len(found))], err
}

// mayBeginID says whether a text can be the beginning of a public ID.
func mayBeginID(text string) bool {
	return len(text) <= ulid.EncodedSize && strings.Trim(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
