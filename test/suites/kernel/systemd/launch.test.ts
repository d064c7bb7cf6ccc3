// The suite of `npm test`, once more where systemd owns the tree: it runs in a scope that test/harness/delegated-scope.ts asks for.
import '../../../launch/launch.test.js';
