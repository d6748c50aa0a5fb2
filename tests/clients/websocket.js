// The two sides of a WebSocket, with the package `ws`:
//   node websocket.js serve [CERT KEY]     echoes each message; prints its port
//   node websocket.js ask URL              sends messages through the proxy that the environment names; prints what became of them
//   node websocket.js ask-built-in URL     the same with the WebSocket that Node.js has itself
'use strict';
const fs = require('fs');

const MESSAGES = ['hello', 'x'.repeat(70000), ''];

function serve(cert, key) {
    const { WebSocketServer } = require('ws');
    const server = cert ? require('https').createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key) }) :
        require('http').createServer();
    new WebSocketServer({ server }).on('connection', (socket) => {
        socket.on('message', (data, binary) => socket.send(data, { binary }));
    });
    server.listen(0, '127.0.0.1', () => console.log(server.address().port));
}

function withPackage(url) {
    const WebSocket = require('ws');
    const { HttpsProxyAgent } = require('https-proxy-agent');
    return new WebSocket(url, { agent: new HttpsProxyAgent(process.env.https_proxy) });
}

function ask(socket) {
    const got = [];
    socket.onopen = () => MESSAGES.forEach((message) => socket.send(message));
    socket.onmessage = ({ data }) => {
        got.push(data);
        if (got.length === MESSAGES.length)
            socket.close(1000);
    };
    socket.onerror = ({ message, error }) => console.error('failed:', message, error);
    socket.onclose = ({ code }) => console.log(code, got.every((data, number) => data === MESSAGES[number]), got.length);
}

const [what, ...words] = process.argv.slice(2);
if (what === 'serve')
    serve(...words);
else
    ask(what === 'ask' ? withPackage(...words) : new WebSocket(...words));
