package models_test

import (
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/go-sql-driver/mysql"

	"carillon/models"
)

// A connection that was lost is no fault of the request or of the program, in whatever words the driver says so.
func TestLostConnectionsAreUnavailable(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		sqldriver.ErrBadConn, sql.ErrConnDone, sql.ErrTxDone, mysql.ErrInvalidConn, mysql.ErrPktSync, mysql.ErrPktSyncMul, mysql.ErrMalformPkt, mysql.ErrBusyBuffer, net.ErrClosed,
		&net.OpError{Op: "read", Err: syscall.ECONNRESET}, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, &mysql.MySQLError{Number: 1927}, &mysql.MySQLError{Number: 1290},
	} {
		if !models.IsUnavailable(err) || !models.IsUnavailable(fmt.Errorf("so: %w", err)) {
			t.Errorf("%v (%T)", err, err)
		}
	}
	for _, err := range []error{errors.New("x"), io.ErrUnexpectedEOF, sql.ErrNoRows, &mysql.MySQLError{Number: 1064}, models.NotFound("user")} {
		if models.IsUnavailable(err) {
			t.Errorf("%v (%T)", err, err)
		}
	}
}

// No error is without words.
func TestErrorsHaveWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  *models.Error
		want string
	}{
		{&models.Error{Code: 1004}, "refused: [1004]RecordNotFoundError"},
		{&models.Error{Code: 1004, Fields: []models.FieldError{{Field: "a", Reason: "is b"}}}, "a is b: [1004]RecordNotFoundError"},
		{models.NotFound("user"), "there is no such user: [1004]RecordNotFoundError"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}
