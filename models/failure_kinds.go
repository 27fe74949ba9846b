package models

import (
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
)

// FailureKind tells failures apart by the code in the recipient's row. If the provider answered
// with an error, its HTTP status counts too.
type FailureKind struct {
	ErrCode Code
	HTTP    int // 0 = none
}

func (k FailureKind) String() string { return fmt.Sprintf("%d/%d", k.ErrCode, k.HTTP) }

// ParseFailureKind reads what String writes.
func ParseFailureKind(text string) (k FailureKind, err error) {
	if _, err = fmt.Sscanf(text, "%d/%d", &k.ErrCode, &k.HTTP); err != nil {
		err = fmt.Errorf("%q is no kind of failure: %w", text, err)
	}
	return k, err
}

// maxFailureKinds is how many kinds a campaign remembers: a provider may give each recipient
// another code.
const maxFailureKinds = 32

// anyFailure stands for all kinds.
const anyFailure Code = -1

// FailureKinds are the kinds of failure that a campaign's guard lets pass. They are stored as one
// text, separated by commas.
type FailureKinds []FailureKind

// Has reports whether the guard lets a kind pass.
func (ks FailureKinds) Has(k FailureKind) bool {
	return slices.ContainsFunc(ks, func(one FailureKind) bool { return one == k || one.ErrCode == anyFailure })
}

// with adds kinds. With more than maxFailureKinds, the result is every kind.
func (ks FailureKinds) with(more FailureKinds) FailureKinds {
	sum := slices.Clone(ks)
	for _, k := range more {
		if !sum.Has(k) {
			sum = append(sum, k)
		}
	}
	if len(sum) > maxFailureKinds {
		return FailureKinds{{ErrCode: anyFailure}}
	}
	return sum
}

// Value is the stored form.
func (ks FailureKinds) Value() (driver.Value, error) {
	texts := make([]string, len(ks))
	for i, k := range ks {
		texts[i] = k.String()
	}
	return strings.Join(texts, ","), nil
}

// Scan reads the stored form.
func (ks *FailureKinds) Scan(stored any) error {
	var text string
	switch v := stored.(type) {
	case string:
		text = v
	case []byte:
		text = string(v)
	default:
		return fmt.Errorf("kinds of failure are stored as a text, not as %T", stored)
	}
	*ks = nil
	for one := range strings.SplitSeq(text, ",") {
		if one == "" {
			continue
		}
		k, err := ParseFailureKind(one)
		if err != nil {
			return err
		}
		*ks = append(*ks, k)
	}
	return nil
}
