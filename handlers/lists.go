package handlers

import "carillon/handlers/web"

// Page is which part of a list in the order of IDs is asked for.
type Page struct {
	ID    string // of what the path names; empty = the list belongs to nothing
	After string // the last ID of the page before; empty = the first page
	Limit int
}

// OlderPage is which part of a list from newest to oldest is asked for.
type OlderPage struct {
	ID     string // of what the path names
	Before int64  // the internal number of the last entry of the page before; 0 = the first page
	Limit  int
}

func page(in *web.In) (p Page, err error) {
	p.After, p.Limit, err = web.ParseIDPage(in.R)
	return p, err
}

// pageOf is page for the list of what the path names.
func pageOf(id func(*web.In) (string, error)) func(*web.In) (Page, error) {
	return func(in *web.In) (p Page, err error) {
		of, err := id(in)
		if err != nil {
			return p, err
		}
		p, err = page(in)
		p.ID = of
		return p, err
	}
}

func olderPageOf(id func(*web.In) (string, error)) func(*web.In) (OlderPage, error) {
	return func(in *web.In) (p OlderPage, err error) {
		if p.ID, err = id(in); err != nil {
			return p, err
		}
		p.Before, p.Limit, err = web.ParseBeforePage(in.R)
		return p, err
	}
}
