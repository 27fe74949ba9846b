package browser

// script is what a test asks of a page. Words are compared with their white space folded.
const script = `(() => {
	const fold = s => (s || "").replace(/\s+/g, " ").trim()
	const name = e => fold(e.getAttribute("aria-label") || (e.labels && e.labels.length ? e.labels[0].textContent : e.textContent) || e.placeholder || e.value || e.id || e.tagName)
	const find = (words, selector) => {
		const shown = [...document.querySelectorAll(selector)].filter(e => e.checkVisibility())
		return shown.find(e => name(e) === words) || shown.find(e => name(e).startsWith(words))
	}
	const covers = e => { // what a click into the middle of e would hit instead
		const box = e.getClientRects()[0]
		if (!box) return "nothing: it has no place"
		const hit = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)
		return hit && (e.contains(hit) || hit.contains(e)) ? "" : hit ? hit.outerHTML.slice(0, 200) : "nothing: it is not on the screen"
	}
	return {
		click(words) {
			const e = find(words, "button, a, summary, label")
			if (!e) return "the page has no such button, link or label"
			e.scrollIntoView({ block: "center" })
			const other = covers(e)
			if (other) return "it is covered by " + other
			e.click()
			return ""
		},
		fill(label, text) {
			const e = find(label, "input:not([type=radio], [type=checkbox]), textarea, select")
			if (!e) return "the page has no such field"
			e.scrollIntoView({ block: "center" })
			e.focus()
			if (e.matches("select")) {
				const option = [...e.options].find(o => o.text === text)
				if (!option) return "there is no such option"
				e.value = option.value
			} else {
				e.value = text
				if (e.value !== text) return "the field makes " + e.value + " of it"
			}
			e.dispatchEvent(new Event("input", { bubbles: true }))
			e.dispatchEvent(new Event("change", { bubbles: true }))
			return ""
		},
		sees: words => fold(document.body?.innerText).includes(words) ? "" : "the page shows: " + fold(document.body?.innerText),
		at: address => document.readyState === "complete" && location.origin + location.pathname === address ? "" : location.href + " " + document.readyState,
		path: () => location.origin + location.pathname,
		text: selector => fold(document.querySelector(selector)?.innerText),
		focus() {
			const e = document.activeElement
			if (!e || e === document.body) return { Name: "" }
			const box = e.getBoundingClientRect()
			const style = getComputedStyle(e)
			let wrong = ""
			if (box.width === 0 || box.height === 0) wrong = "it has no size"
			else if (box.bottom <= 0 || box.top >= innerHeight || box.right <= 0 || box.left >= innerWidth) wrong = "it is not on the screen"
			else if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) wrong = "it has no outline of 2 pixels"
			else if (covers(e)) wrong = "it is covered by " + covers(e)
			return { Name: name(e), Wrong: wrong }
		},
	}
})()`
