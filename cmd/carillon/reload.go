package main

import (
	"os"
	"os/signal"
	"syscall"

	"carillon/internal/config"
)

// rereadAdmins reads the admins' file again whenever this process gets a SIGHUP, until stop is called. A file that is
// not right changes nothing. Without a file the signal ends the process, as it would any other.
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
			s.log.Info("SIGHUP: the file of the admins was read again", "admins", len(admins)) // their IDs are personal data
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(hangup)
		<-over
	}
}
