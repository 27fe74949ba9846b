package services_test

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"carillon/internal/testkit"
	"carillon/internal/testkit/services"
)

// TestServersDieWithTheTest kills a process that has started a server, as a time-out or an operator would.
func TestServersDieWithTheTest(t *testing.T) {
	t.Parallel()
	if os.Getenv("TESTKIT_ORPHAN") == "1" {
		os.Stdout.WriteString(testkit.PrivateRedis(t).URL() + "\n")
		select {}
	}
	testkit.PrivateRedis(t) // fails or skips here, with the reason, where there are no servers
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServersDieWithTheTest$")
	cmd.Env = append(os.Environ(), "TESTKIT_ORPHAN=1", "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSpace(line)
	if _, err := services.RedisDo(url, "PING"); err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := services.RedisDo(url, "PING"); err != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the server outlives its test")
		}
	}
}
