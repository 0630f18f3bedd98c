// An HTTP server that hashes, compresses and runs WebAssembly; /count tells how many requests it has answered.
const http = require('http'), zlib = require('zlib'), crypto = require('crypto');
const wasm = Buffer.from('AGFzbQEAAAABBgFgAX8BfwMCAQAHBwEDZmliAAAKHgEcACAAQQJIBH8gAAUgAEEBaxAAIABBAmsQAGoLCw==', 'base64');
const { fib } = new WebAssembly.Instance(new WebAssembly.Module(wasm)).exports;
let n = 0;

const server = http.createServer((q, r) => {
  n++;
  if (q.url === '/count') return r.end(String(n));
  const body = JSON.stringify({ url: q.url, fib: fib(12), sha: crypto.createHash('sha256').update(q.url).digest('hex') });
  if (q.url.startsWith('/z')) return zlib.gzip(body, (e, z) => r.end(z));
  r.end(body);
}).listen(+process.argv[2], '127.0.0.1', () => console.log('listening'));
server.keepAliveTimeout = 0; // a server that gets no processor for five seconds would close connections with requests in them
