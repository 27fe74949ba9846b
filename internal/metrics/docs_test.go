package metrics_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"carillon/internal/metrics"
)

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// row is a metric as docs/metrics.md shows it.
func row(m *metrics.Metric) string {
	labels := "–"
	if len(m.Labels) > 0 {
		labels = "`" + strings.Join(m.Labels, "`, `") + "`"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |", m.Name, m.Kind, labels, m.Help)
}

func TestDocsHaveTheMetrics(t *testing.T) {
	t.Parallel()
	docs := read(t, "docs/metrics.md")
	for _, m := range metrics.Table() {
		if !strings.Contains(docs, row(m)+"\n") {
			t.Errorf("docs/metrics.md lacks:\n%s", row(m))
		}
	}
	if n := strings.Count(docs, "| `carillon_"); n != len(metrics.Table()) {
		t.Errorf("docs/metrics.md has %d metrics, the table %d", n, len(metrics.Table()))
	}
}

// A name that no metric has would make an alert or a panel that never shows anything.
func TestAlertsAndDashboardNameMetrics(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, m := range metrics.Table() {
		known[m.Name] = true
		if m.Kind == metrics.Histogram {
			known[m.Name+"_bucket"], known[m.Name+"_sum"], known[m.Name+"_count"] = true, true, true
		}
	}
	for _, path := range []string{"deploy/prometheus/alerts.yml", "deploy/prometheus/alerts_test.yml", "deploy/grafana/carillon.json", "docs/metrics.md", "docs/operations.md"} {
		text := read(t, path)
		names := regexp.MustCompile(`\bcarillon_[a-z]\w*`).FindAllString(text, -1)
		if len(names) == 0 && path != "docs/operations.md" {
			t.Errorf("%s names no metric", path)
		}
		for _, name := range names {
			if !known[name] && name != "carillon_shared_" && name != "carillon_migrate" {
				t.Errorf("%s: there is no metric %s", path, name)
			}
		}
	}
	if known["carillon_nothing"] {
		t.Error("any name is known")
	}
}

// What all processes share is the same in each of them: a sum would count it several times.
func TestSharedMetricsAreNotSummed(t *testing.T) {
	t.Parallel()
	summed := regexp.MustCompile(`\b(sum|avg|count)( by \([^)\n]*\))? ?\([^()\n]*carillon_shared_`)
	for _, path := range []string{"deploy/prometheus/alerts.yml", "deploy/grafana/carillon.json"} {
		for _, found := range summed.FindAllString(read(t, path), -1) {
			t.Errorf("%s: %s", path, found)
		}
	}
	if !summed.MatchString(`sum by (status) (carillon_shared_campaigns)`) || !summed.MatchString(`sum(carillon_shared_campaigns)`) {
		t.Error("a sum is not found")
	}
}

// No label holds an ID, and names follow Prometheus' conventions.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, m := range metrics.Table() {
		if strings.HasSuffix(m.Name, "_total") != (m.Kind == metrics.Counter) {
			t.Errorf("%s is a %s", m.Name, m.Kind)
		}
		if m.Kind == metrics.Histogram && !strings.HasSuffix(m.Name, "_seconds") {
			t.Errorf("%s names no unit", m.Name)
		}
		for _, label := range m.Labels {
			if strings.Contains(strings.ToLower(label), "id") || label == "campaign" || label == "user" {
				t.Errorf("%s has the label %s", m.Name, label)
			}
		}
	}
}

func TestRunbooksAreHeadings(t *testing.T) {
	t.Parallel()
	operations := read(t, "docs/operations.md")
	found := regexp.MustCompile(`runbook: "docs/operations\.md: (.*)"`).FindAllStringSubmatch(read(t, "deploy/prometheus/alerts.yml"), -1)
	if n := strings.Count(read(t, "deploy/prometheus/alerts.yml"), "- alert:"); n != len(found) {
		t.Errorf("%d alerts, %d with a runbook", n, len(found))
	}
	for _, f := range found {
		if !strings.Contains(operations, "\n### "+f[1]+"\n") {
			t.Errorf("docs/operations.md has no heading %q", f[1])
		}
	}
}

func TestDashboardIsJSON(t *testing.T) {
	t.Parallel()
	var board struct {
		Title  string
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/carillon.json")), &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		if p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("a panel without title or query: %+v", p)
		}
	}
}
