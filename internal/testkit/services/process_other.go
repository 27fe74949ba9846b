//go:build !linux

package services

import "syscall"

// childAttr: only Linux can tie a child's life to its parent's; elsewhere a killed test run leaves its servers.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
