// A real Node server for the differential test: prints what it saw of each request, one line of JSON each.
'use strict';
const http = require('http');

const say = what => process.stdout.write(JSON.stringify(what) + '\n');

const server = http.createServer({maxHeaderSize: 1 << 17, requireHostHeader: false}, (request, response) => {
    const pieces = [];
    request.on('data', piece => pieces.push(piece));
    request.on('end', () => {
        say({method: request.method, uri: request.url, host: request.headers.host,
            body: Buffer.concat(pieces).toString('latin1')});
        response.end('node');
    });
});
server.on('checkContinue', (request, response) => {
    response.writeContinue();
    server.emit('request', request, response);
});
server.on('checkExpectation', (request, response) => server.emit('request', request, response));
server.on('clientError', (error, socket) => {
    say({refused: error.code});
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
});
server.maxHeadersCount = 0;
server.listen(0, '127.0.0.1', () => say({port: server.address().port}));
