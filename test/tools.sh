# Sourced: which tools the lanes need and which Debian packages have them. This is
# the one list; a lane names tools, `make deps` installs their packages.
declare -A package_of=(
	[caddy]=caddy
	[cc]='gcc libc6-dev'
	[chromium]=chromium
	[haproxy]=haproxy
	[nginx]=nginx-light
	[ip]=iproute2
	[node]=nodejs
	[npm]=npm
	[openssl]=openssl
	[prometheus]=prometheus
	[redis-server]=redis-server
	[systemd-analyze]=systemd
)

# The Node version that the packages in test/clients ask for.
node_major=20

# has TOOL: is it here, and good enough?
has() {
	local program=$1
	# The one that test/chromium/browser.js starts.
	[ "$1" != chromium ] || program=${CHROMIUM:-/usr/bin/chromium}
	command -v "$program" >/dev/null 2>&1 || return 1
	case $1 in
	node) node -e "process.exit(parseInt(process.versions.node) >= $node_major ? 0 : 1)" ;;
	esac
}
