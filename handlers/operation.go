package handlers

import (
	"context"
	"net/http"
)

// An operation is what a route does, without HTTP: a method of API that takes the call and one input, and returns the
// answer's data. Pages call the same methods.
//
// with serves an operation: read makes the input of the request, and the answer is 200 with the data. Where the answer
// has another status or headers of its own, the handler stands beside its operation.
func with[In, Out any](read func(*in) (In, error), do func(context.Context, call, In) (Out, error)) handler {
	return func(r *in) error {
		input, err := read(r)
		if err != nil {
			return err
		}
		data, err := do(r.Context(), r.call, input)
		if err != nil {
			return err
		}
		return r.Answer(http.StatusOK, data)
	}
}

// nothing is the input of an operation that takes none, and the data of an answer that says no more than done.
type nothing struct{}

func none(*in) (nothing, error) { return nothing{}, nil }

func campaignID(in *in) (string, error) { return in.Known("campaign") }
func scheduleID(in *in) (string, error) { return in.Known("schedule") }

// pathID reads the ID of a user or a group.
func pathID(in *in) (string, error) { return in.ID("id") }

// bodyOf reads a body whose unknown fields are refused.
func bodyOf[T any](limit int64, unknown unknownFields) func(*in) (T, error) {
	return func(in *in) (body T, err error) {
		err = in.Decode(limit, &body, unknown)
		return body, err
	}
}
