// Command shots takes pictures of the console's pages, light and dark, wide and narrow.
//
//	go run ./internal/testkit/shots -url http://127.0.0.1:8080 -token "$(carillon token)" -out /tmp/shots / /campaigns
package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// widths are of a desk and of a phone, in CSS pixels.
var widths = map[string]int64{"1280": 1280, "390": 390}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	base := flag.String("url", "http://127.0.0.1:8080", "where Carillon is")
	token := flag.String("token", os.Getenv("CARILLON_TOKEN"), "an admin's token")
	out := flag.String("out", "docs/img", "the folder for the pictures")
	flag.Parse()
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.WindowSize(1280, 900))
	if path := os.Getenv("CHROMIUM"); path != "" {
		options = append(options, chromedp.ExecPath(path))
	} else if _, err := os.Stat("/usr/bin/chromium-headless-shell"); err == nil {
		options = append(options, chromedp.ExecPath("/usr/bin/chromium-headless-shell"))
	}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	defer stop()
	ctx, stop = chromedp.NewContext(ctx)
	defer stop()
	ctx, stop = context.WithTimeout(ctx, 5*time.Minute)
	defer stop()
	if err := logIn(ctx, *base, *token); err != nil {
		return err
	}
	for _, page := range flag.Args() {
		for scheme := range strings.SplitSeq("light dark", " ") {
			for name, width := range widths {
				if err := shoot(ctx, *base+page, scheme, width, filepath.Join(*out, fileName(page)+"-"+scheme+"-"+name+".png")); err != nil {
					return fmt.Errorf("%s: %w", page, err)
				}
			}
		}
	}
	return nil
}

func logIn(ctx context.Context, base, token string) error {
	return chromedp.Do(ctx,
		chromedp.Navigate(base+"/login"),
		chromedp.SendKeys("#token", token),
		chromedp.Submit("#token"),
		chromedp.WaitVisible("#main"),
	)
}

// shoot takes a picture of the whole page, and says where the page is wider than the screen.
func shoot(ctx context.Context, page, scheme string, width int64, file string) error {
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		return err
	}
	err := chromedp.Do(ctx,
		chromedp.EmulateViewport(width, 900),
		chromedp.Navigate(page),
		chromedp.WaitVisible("#main"),
		chromedp.Sleep(300*time.Millisecond), // charts
	)
	if err != nil {
		return err
	}
	wide, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](overflowing))
	if err != nil {
		return err
	}
	for _, one := range wide {
		fmt.Fprintf(os.Stdout, "%s at %d: too wide: %s\n", page, width, one)
	}
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		return err
	}
	return os.WriteFile(file, picture, 0o600)
}

// overflowing lists the elements that stick out of the screen, but those within a box that scrolls.
const overflowing = `[...document.querySelectorAll("body *")].filter(e => {
	const box = e.getBoundingClientRect()
	return box.width > 0 && box.right > document.documentElement.clientWidth + 1 && !e.closest(".table") && !e.closest(".skip, .hidden")
}).slice(0, 5).map(e => e.outerHTML.slice(0, 100))`

func fileName(page string) string {
	u, err := url.Parse(page)
	if err != nil || strings.Trim(u.Path, "/") == "" {
		return "overview"
	}
	return strings.NewReplacer("/", "-", "%", "").Replace(strings.Trim(u.Path, "/"))
}
