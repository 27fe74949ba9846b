// Package near finds the name that somebody meant who misspelt it.
package near

import "strings"

// Name is the known name that is the fewest letters away from name, whatever the case; "" when none is within typos, or when
// as many letters would have to change as the known name has.
func Name(name string, known []string, typos int) (near string) {
	best := typos + 1
	for _, k := range known {
		if d := Distance(strings.ToLower(name), strings.ToLower(k)); d < min(best, len(k)) {
			best, near = d, k
		}
	}
	return near
}

// Distance is how many bytes must be put in, taken out or changed to make b of a.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, corner+1, row[j]+1)
		}
	}
	return row[len(b)]
}
