// Four worker threads that make garbage and share memory with atomics.
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

if (isMainThread) {
  const shared = new SharedArrayBuffer(8), ends = [];
  for (let i = 0; i < 4; i++)
    ends.push(new Promise((ok, bad) => new Worker(__filename, { workerData: shared }).on('message', ok).on('error', bad)));
  Promise.all(ends).then(s => console.log(s.join(' '), new Int32Array(shared)[0]));
} else {
  const count = new Int32Array(workerData), keep = [];
  let sum = 0;
  for (let i = 0; i < 100000; i++) {
    keep.push({ i, text: 'x' + i });
    if (keep.length > 5000) keep.splice(0, 2500);
    sum += keep[keep.length - 1].text.length;
    Atomics.add(count, 0, 1);
  }
  parentPort.postMessage(sum);
}
