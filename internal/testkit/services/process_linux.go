package services

import "syscall"

// childAttr makes a child die with the thread that started it. It has its own process group so that Ctrl-C in
// a terminal reaches the test run only, which then ends its servers in order.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
