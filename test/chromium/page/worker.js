// A worker with pusher-js's build for workers.
importScripts('/modules/pusher-js/dist/worker/pusher.worker.js', '/page/follow.js')
onmessage = ({ data }) => follow(data, postMessage)
