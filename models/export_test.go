package models

import "context"

// What tests alone ask of the ledger.

// PageOf reads one page of a campaign; 1004 when there is none.
func (s *Store) PageOf(ctx context.Context, campaignID int64, no int) (Page, error) {
	page, err := s.nextPage(ctx, campaignID, no, nil)
	if err == nil && (page == nil || page.No != no) {
		err = NotFound()
	}
	if err != nil {
		return Page{}, err
	}
	return *page, nil
}
