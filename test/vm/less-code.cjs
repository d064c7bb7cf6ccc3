// For Node in an emulated guest: machine code that V8 makes has to be translated once more before it runs, which costs more
// than it saves.
require('node:v8').setFlagsFromString('--no-opt');
require('node:v8').setFlagsFromString('--no-sparkplug');
