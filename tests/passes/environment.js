/** Before a test file is loaded: the environment of its pass (jest.config.js beside this). */
Object.assign(process.env, globalThis.PASS_ENVIRONMENT);
