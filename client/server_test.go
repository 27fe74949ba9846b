package client_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"carillon/channels"
	"carillon/channels/inbox"
	"carillon/handlers"
	"carillon/handlers/web"
	"carillon/internal/config"
	"carillon/internal/embedded"
	"carillon/jobs"
	"carillon/migrations"
	"carillon/models"
)

const secret = "a secret for tests only"

// live is one whole Carillon on embedded stores, for all examples.
type live struct {
	url, token string
	close      func()
}

var carillon = sync.OnceValues(serve)

func TestMain(m *testing.M) {
	code := m.Run()
	if s, err := carillon(); err == nil {
		s.close()
	}
	os.Exit(code)
}

// here is the server of the examples, with users.
func here() live {
	s, err := carillon()
	if err != nil {
		panic(err)
	}
	return s
}

func serve() (s live, err error) {
	dir, err := os.MkdirTemp("", "carillon-client")
	if err != nil {
		return s, err
	}
	inside, err := embedded.StartRedis()
	if err != nil {
		return s, err
	}
	conn := config.RedisInside(inside.Dial)
	rdb := conn.MakeRedisClient().(redis.UniversalClient) //nolint:forcetypeassert // RedisConn documents this type
	ledger, err := models.Open("sqlite:" + filepath.Join(dir, "ledger.db"))
	if err != nil {
		return s, err
	}
	ledger.InboxChannels(inbox.Name)
	db, dialect, done, err := ledger.Migrator()
	if err != nil {
		return s, err
	}
	_, err = migrations.Up(context.Background(), db, dialect)
	done()
	if err != nil {
		return s, err
	}
	log, queue, set := slog.New(slog.DiscardHandler), jobs.NewQueue(rdb), []channels.Channel{inbox.New(rdb)}
	shared := jobs.NewShared(ledger, queue, jobs.Options{Channels: set}, log)
	worker, reconciler := jobs.NewWorker(shared), jobs.NewReconciler(shared, jobs.Retention{})
	api := &handlers.API{
		Gate:      web.Gate{Store: ledger, Redis: rdb, Secret: secret, Admins: []string{"imAdmin"}, Log: log},
		RedisConn: conn, Enqueue: queue.Stored, Describe: func([]byte) string { return "" }, Pace: reconciler.Pace,
		Ready:    func(context.Context) []handlers.Problem { return nil },
		Channels: []channels.Traits{set[0].Traits()}, Zone: "UTC",
	}
	if err := reconciler.Compare(context.Background()); err != nil {
		return s, err
	}
	reconciler.Start()
	if err := worker.Start(); err != nil {
		return s, err
	}
	if err := putUsers(ledger, 250); err != nil {
		return s, err
	}
	server := httptest.NewServer(api.Routes())
	s.url = server.URL
	s.close = func() {
		server.CloseClientConnections()
		server.Close()
		api.Close()
		worker.Stop()
		reconciler.Stop()
		_ = rdb.Close()
		inside.Close()
		_ = ledger.Close()
		_ = os.RemoveAll(dir)
	}
	s.token, err = web.AdminToken(secret, "imAdmin")
	return s, err
}

func putUsers(ledger *models.Store, n int) error {
	users := make([]models.UserChange, n)
	for i := range users {
		users[i].UserID = fmt.Sprintf("user-%03d", i)
	}
	_, err := ledger.UpsertUsers(context.Background(), users)
	return err
}
