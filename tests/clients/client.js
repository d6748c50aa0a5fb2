// One run of Node's http through a proxy: node client.js '{"port": 3128, "url": "http://...", ...}'
// Prints [[status, body], ...] in the order of the requests. Not one of them may fail.
'use strict';
const http = require('http');

const {port, url, count = 1, keepAlive = false, maxSockets = 1, body = null, together = false} =
    JSON.parse(process.argv[2]);
const agent = new http.Agent({keepAlive, maxSockets});
const {host} = new URL(url);

function ask(number) {
    return new Promise((resolve, reject) => {
        const options = {host: '127.0.0.1', port, agent, method: body === null ? 'GET' : 'POST',
            path: url.replace('%N', number), headers: {host}};
        const request = http.request(options, response => {
            const pieces = [];
            response.on('data', piece => pieces.push(piece));
            response.on('error', reject);
            response.on('end', () => resolve([response.statusCode, Buffer.concat(pieces).toString()]));
        });
        request.on('error', reject);
        if (body !== null) {
            // Two writes without a length: Node frames them in chunks.
            request.write(body.slice(0, body.length / 2));
            setImmediate(() => request.end(body.slice(body.length / 2)));
        } else {
            request.end();
        }
    });
}

async function main() {
    const numbers = [...Array(count).keys()];
    const answers = [];
    if (together)
        answers.push(...await Promise.all(numbers.map(ask)));
    else
        for (const number of numbers)
            answers.push(await ask(number));
    console.log(JSON.stringify(answers));
    agent.destroy();
}

main().catch(error => {
    console.error(error);
    process.exit(1);
});
