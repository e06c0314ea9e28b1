// node login.mjs ADDR [N] [CLIENT]  -> N lines, each a Cookie header value of a signed-in session (users u0..)
import { Conn, login } from './lib-client.mjs';
const [addr, n = '1', client = 'app'] = process.argv.slice(2);
const c = new Conn(addr);
for (let i = 0; i < Number(n); i += 1) console.log(await login(c, `u${i}`, client));
c.close();
