package embedded

import (
	"sync"

	lua "github.com/yuin/gopher-lua"
)

// Sizes of the stacks that the interpreter allocates for each run of a script. Its own sizes are
// 5,120 values and 256 calls: 100 KB a run, four fifths of all that an embedded Redis allocates.
// The scripts of this program and of asynq need less than 100 values and 10 calls.
const (
	scriptValues = 1024
	scriptCalls  = 64
)

var smallStacks = sync.OnceFunc(func() {
	lua.RegistrySize, lua.CallStackSize = scriptValues, scriptCalls
})

// SmallStacks makes each run of a script in any embedded Redis of this process cheap. Call it
// before the first of them starts; StartRedis does.
func SmallStacks() { smallStacks() }
