// Command bare is what a signed request costs when nothing is done with it: a
// fasthttp handler that takes the MD5 of the body and an HMAC over the request.
//
// It is the floor that `dunlin bench trigger` is compared with. It is not a
// server: it knows no app, compares no signature, parses nothing and publishes
// nothing.
//
//	go build -o bare ./test/floor/bare && ./bare [PORT]     (0: any free port)
package main

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log"
	"net"
	"os"

	"github.com/valyala/fasthttp"
)

func main() {
	port := "0"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", l.Addr())
	log.Fatal(fasthttp.Serve(l, handle))
}

func handle(ctx *fasthttp.RequestCtx) {
	body := md5.Sum(ctx.PostBody())
	digest := hex.EncodeToString(body[:])
	mac := hmac.New(sha256.New, []byte("app-secret"))
	mac.Write([]byte("POST\n"))
	mac.Write(ctx.Path())
	mac.Write(ctx.QueryArgs().QueryString())
	signature := hex.EncodeToString(mac.Sum(nil))
	ctx.SetContentType("application/json")
	if digest == signature { // never, but the compiler must make both
		ctx.SetStatusCode(fasthttp.StatusTeapot)
	}
	ctx.WriteString("{}")
}
