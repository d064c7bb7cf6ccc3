import { defineConfig } from 'vite';

export default defineConfig({
  // Relative addresses: the page works wherever a proxy puts it.
  base: './',
  build: {
    outDir: '../../dist/dashboard',
    emptyOutDir: true,
    target: 'es2022',
    // No data: addresses, so that a policy of 'self' holds for everything.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
});
