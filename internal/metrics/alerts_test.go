package metrics_test

import (
	"os/exec"
	"testing"

	"carillon/internal/testkit"
)

// Prometheus takes the alerts, and their own tests hold.
func TestAlertsByPromtool(t *testing.T) {
	t.Parallel()
	path := testkit.Promtool(t)
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Dir = "../../deploy/prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}
