import { render } from 'preact';
import { App } from './app.js';
import { startAging } from './data/fleet.js';
import { startStream } from './data/stream.js';

const root = document.getElementById('app');
if (!root) throw new Error('the page has no #app');
render(<App />, root);
startStream();
startAging();
