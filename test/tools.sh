# Sourced: which tools the lanes need and which Debian packages have them. This is
# the one list; a lane names tools, `make deps` installs their packages.
declare -A package_of=(
	[cc]='gcc libc6-dev'
	[node]=nodejs
	[npm]=npm
)

# The Node version that the packages in test/clients ask for.
node_major=20

# has TOOL: is it here, and good enough?
has() {
	command -v "$1" >/dev/null 2>&1 || return 1
	case $1 in
	node) node -e "process.exit(parseInt(process.versions.node) >= $node_major ? 0 : 1)" ;;
	esac
}
