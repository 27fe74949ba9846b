package console

import (
	"embed"
	"path"

	"carillon/handlers/web"
)

// assetFiles are the console's own style and script, and what assets/README.md says where from.
//
//go:embed assets/*.js assets/*.css assets/*.svg
var assetFiles embed.FS

var mediaTypes = map[string]string{
	".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

// readAssets makes the files by their names.
func readAssets() map[string]*web.File {
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic(err) // they are part of the program
	}
	files := make(map[string]*web.File, len(entries))
	for _, e := range entries {
		content, err := assetFiles.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		files[e.Name()] = web.Compressed(mediaTypes[path.Ext(e.Name())], content)
	}
	return files
}

// asset serves one of the files to anybody: the log-in page has the same style.
func (c *Console) asset(in *web.In) error {
	f := c.pages.assets[in.Var("name")]
	if f == nil {
		return web.NoRoute(in)
	}
	return f.Serve(in)
}
