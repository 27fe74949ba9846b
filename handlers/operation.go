package handlers

import (
	"context"
	"net/http"

	"carillon/handlers/web"
)

// An operation is what a route does, without HTTP: a method of API that takes the call and one input, and returns the
// answer's data. Pages call the same methods.
//
// with serves an operation: read makes the input of the request, and the answer is 200 with the data. Where the answer
// has another status or headers of its own, the handler stands beside its operation.
func with[In, Out any](read func(*web.In) (In, error), do func(context.Context, web.Call, In) (Out, error)) web.Handler {
	return func(r *web.In) error {
		input, err := read(r)
		if err != nil {
			return err
		}
		data, err := do(r.Context(), r.Call, input)
		if err != nil {
			return err
		}
		return r.Answer(http.StatusOK, data)
	}
}

// nothing is the input of an operation that takes none, and the data of an answer that says no more than done.
type nothing struct{}

func none(*web.In) (nothing, error) { return nothing{}, nil }

func campaignID(in *web.In) (string, error) { return in.Known("campaign") }
func scheduleID(in *web.In) (string, error) { return in.Known("schedule") }

// pathID reads the ID of a user or a group.
func pathID(in *web.In) (string, error) { return in.ID("id") }

// bodyOf reads a body whose unknown fields are refused.
func bodyOf[T any](limit int64, unknown web.UnknownFields) func(*web.In) (T, error) {
	return func(in *web.In) (body T, err error) {
		err = in.Decode(limit, &body, unknown)
		return body, err
	}
}
