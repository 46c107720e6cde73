//go:build !unix

package deliver

import "net"

// readable is not known here.
func readable(*net.TCPConn) bool { return false }
