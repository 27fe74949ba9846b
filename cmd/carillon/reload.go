package main

import (
	"os"
	"os/signal"
	"syscall"

	"carillon/internal/config"
)

// rereadAdmins reads the admins' file again at each SIGHUP, until stop is called. A file with a
// fault changes nothing. Without a file the signal ends the process, as it does by default.
func (s *system) rereadAdmins(path string) (stop func()) {
	if path == "" {
		return func() {}
	}
	hangup, over := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		defer close(over)
		for range hangup {
			admins, err := config.ReadAdmins(path)
			if err != nil {
				s.log.Error("SIGHUP: the admins stay as they are", "err", err)
				continue
			}
			s.api.SetAdmins(admins)
			s.log.Info("SIGHUP: the file of the admins was read again", "admins", len(admins)) // counted, not listed: IDs are personal data
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(hangup)
		<-over
	}
}
