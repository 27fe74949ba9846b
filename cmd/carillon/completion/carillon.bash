# Completion of carillon for bash: source <(carillon completion bash)
_carillon() {
	local line
	COMPREPLY=()
	while IFS= read -r line; do
		COMPREPLY+=("${line%%$'\t'*}")
	done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
	# bash completes only what stands behind the last "=".
	if [[ ${#COMPREPLY[@]} -gt 0 && ${COMPREPLY[0]} == --*=* ]]; then
		COMPREPLY=("${COMPREPLY[@]#*=}")
	fi
}
complete -o default -F _carillon carillon
