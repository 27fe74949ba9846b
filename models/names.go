package models

import (
	"context"
	"slices"
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
