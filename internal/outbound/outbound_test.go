package outbound

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestWhichAddressesMayBeReached(t *testing.T) {
	for addr, want := range map[string][2]bool{ // with AnyNetwork, with PublicNetwork
		"93.184.216.34":               {true, true},
		"2606:2800:220:1::1":          {true, true},
		"64:ff9b::5db8:d822":          {true, true}, // 93.184.216.34
		"10.1.2.3":                    {true, false},
		"172.31.0.1":                  {true, false},
		"192.168.1.1":                 {true, false},
		"100.64.0.1":                  {true, false},
		"127.0.0.1":                   {true, false},
		"0.0.0.0":                     {true, false},
		"::":                          {true, false},
		"::1":                         {true, false},
		"fd12::1":                     {true, false},
		"::ffff:10.1.2.3":             {true, false},
		"64:ff9b::a01:203":            {true, false}, // 10.1.2.3
		"2002:a01:203::1":             {true, false},
		"169.254.169.254":             {false, false},
		"169.254.0.1":                 {false, false},
		"::ffff:169.254.169.254":      {false, false},
		"64:ff9b::a9fe:a9fe":          {false, false},
		"64:ff9b:1::a9fe:a9fe":        {false, false},
		"2002:a9fe:a9fe::1":           {false, false},
		"::a9fe:a9fe":                 {false, false},
		"fe80::1%eth0":                {false, false},
		"febf::1":                     {false, false},
		"fd00:ec2::254":               {false, false},
		"fd20:ce::254":                {false, false},
		"100.100.100.200":             {false, false},
		"168.63.129.16":               {false, false},
		"224.0.0.1":                   {false, false},
		"ff02::1":                     {false, false},
		"255.255.255.255":             {false, false},
		"fec0::1":                     {true, false},
		"192.0.0.192":                 {false, false},
		"::ffff:127.0.0.1":            {true, false},
		"2002:c0a8:0101::":            {true, false},
		"2a00:1450:4001:830::200e":    {true, true},
		"64:ff9b:1:ffff::169.254.1.1": {false, false},
	} {
		for i, r := range []Reach{AnyNetwork, PublicNetwork} {
			if err := r.Check(netip.MustParseAddr(addr)); (err == nil) != want[i] || err != nil && !errors.Is(err, ErrRefused) {
				t.Errorf("%s, reach %d: %v", addr, r, err)
			}
		}
	}
}

// A name is checked by where it leads at the moment of the connection, whatever the URL says.
func TestTheAddressIsCheckedWhenConnecting(t *testing.T) {
	reached := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached++
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
		}
	}))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTP_PROXY", server.URL)
	get := func(r Reach, url string) (int, error) {
		resp, err := r.Client(2*time.Second, 1).Get(url)
		if err != nil {
			return 0, err
		}
		_ = resp.Body.Close()
		return resp.StatusCode, nil
	}
	if code, err := get(AnyNetwork, "http://localhost:"+port+"/"); err != nil || code != http.StatusOK {
		t.Error(code, err)
	}
	if code, err := get(AnyNetwork, "http://localhost:"+port+"/away"); err != nil || code != http.StatusFound {
		t.Error("the redirect is followed:", code, err)
	}
	for _, url := range []string{"http://localhost:" + port + "/", server.URL} {
		if _, err := get(PublicNetwork, url); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"http://169.254.169.254/", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]:80/", "http://2852039166/"} {
		_, err := get(AnyNetwork, url)
		if err == nil || !errors.Is(err, ErrRefused) && !strings.Contains(err.Error(), "no such host") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if reached != 2 {
		t.Errorf("%d requests arrived, want 2", reached)
	}
}
