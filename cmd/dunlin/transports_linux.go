package main

import (
	"dunlin/transport"
	"dunlin/transport/epoll"
)

func init() {
	transports["auto"] = listenEpoll
	transports["epoll"] = listenEpoll
}

func listenEpoll(a []transport.Address, o transport.Options, h transport.NewHandler) (transport.Server, error) {
	return epoll.Listen(a, o, h)
}
