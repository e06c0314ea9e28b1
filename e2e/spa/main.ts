// The guide's usage: a login button, a callback page, and what comes after.

import { OAuth2Client } from './oauth2-client';
import { ApiClient, TokenManager } from './token-manager';

const config = (window as any).CONFIG as { issuer: string; clientId: string; api: string };
const oauth2 = new OAuth2Client(config.issuer, config.clientId, `${location.origin}/callback`);
const tokenManager = new TokenManager(oauth2);
const api = new ApiClient(config.api, tokenManager);

async function logout() {
  const refreshToken = tokenManager.getRefreshToken();
  // Revoke refresh token
  if (refreshToken) {
    try {
      await oauth2.revokeToken(refreshToken, 'refresh_token');
    } catch (error) {
      console.error('Token revocation failed:', error);
    }
  }
  // Clear local tokens
  tokenManager.clear();
  // Redirect to login
  window.location.href = '/login';
}

// What the test looks at.
(window as any).app = { oauth2, tokenManager, api, logout };

document.getElementById('login-btn')?.addEventListener('click', () => {
  oauth2.authorize(['openid', 'profile', 'email']);
});

const status = document.getElementById('status')!;
if (window.location.pathname === '/callback') {
  oauth2
    .handleCallback()
    .then(async (tokens) => {
      tokenManager.setTokens(tokens);
      const user = await oauth2.getUserInfo(tokens.access_token);
      status.textContent = `Logged in as: ${user.email}`;
    })
    .catch((error) => {
      status.textContent = `Login failed: ${error.message}`;
    });
} else {
  status.textContent = 'Not logged in';
}
