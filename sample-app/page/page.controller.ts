import { Controller, Get, Header } from '@nestjs/common';
import { PAGE } from './page.js';

@Controller()
export class PageController {
  @Get()
  @Header('content-type', 'text/html; charset=utf-8')
  // All of it is in the page itself, and nothing else may get in.
  @Header(
    'content-security-policy',
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'",
  )
  page(): string {
    return PAGE;
  }
}
