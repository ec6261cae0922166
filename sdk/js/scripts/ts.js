// Lets node run the TypeScript tests as they are: `node --import ./scripts/ts.js --test …`.
import { register } from 'node:module';

register('./ts-hooks.js', import.meta.url);
