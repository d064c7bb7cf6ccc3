// The suite of `npm test`, once more on a kernel whose v2 hierarchy has every controller.
import '../../launch/launch.test.js';
