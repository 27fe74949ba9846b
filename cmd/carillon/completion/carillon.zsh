#compdef carillon
# Completion of carillon for zsh: source <(carillon completion zsh)
_carillon() {
	local line word
	local -a found
	while IFS= read -r line; do
		word=${line%%$'\t'*}
		found+=("${word//:/\\:}:${line#*$'\t'}")
	done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
	if (( ${#found} )); then
		_describe -V 'carillon' found
	else
		_files
	fi
}
compdef _carillon carillon
