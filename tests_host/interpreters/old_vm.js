// Runs chunks of Python in npm's micropython@1.1.8 (MicroPython 1.10 as WebAssembly): node old_vm.js <package folder>,
// the chunks as a JSON list on stdin, the VM's output on stdout, line by line and unbuffered.
const fs = require('fs');
console.log = () => {};                       // the package prints its file-system object
let line = '';
const show = (text) => {
  line += text.toString();
  const end = line.lastIndexOf('\n') + 1;
  if (end) { fs.writeSync(1, line.slice(0, end)); line = line.slice(end); }
};
(async () => {
  const chunks = JSON.parse(fs.readFileSync(0).toString());
  const vm = await require(process.argv[2]);
  vm.init(8 * 1024 * 1024);                   // its memory cannot grow beyond 16 MiB
  global.mpjsPrintStdout = show;
  // The inner do_str, not the package's: that one waits for ever after an uncaught exception.
  for (const chunk of chunks) global._mp_js_do_str(chunk);
  process.exit(0);
})();
