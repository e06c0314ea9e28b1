// The guide's token manager and API client (its step 3). Two of its slips are mended: `refresh` is
// called from outside the class, so it is not private, and its logout needs `getRefreshToken`.

import type { OAuth2Client, TokenResponse } from './oauth2-client';

export class TokenManager {
  accessToken: string | null = null;
  private refreshToken: string | null = null;
  private expiresAt: number | null = null;

  constructor(private readonly oauth2: OAuth2Client) {}

  setTokens(tokens: TokenResponse) {
    this.accessToken = tokens.access_token;
    this.refreshToken = tokens.refresh_token || null;
    this.expiresAt = Date.now() + tokens.expires_in * 1000;
    // Schedule refresh before expiry
    this.scheduleRefresh();
  }

  getAccessToken(): string | null {
    if (!this.accessToken || this.isExpired()) {
      return null;
    }
    return this.accessToken;
  }

  getRefreshToken(): string | null {
    return this.refreshToken;
  }

  private isExpired(): boolean {
    if (!this.expiresAt) return true;
    // Consider expired 5 minutes before actual expiry
    return Date.now() >= this.expiresAt - 5 * 60 * 1000;
  }

  private scheduleRefresh() {
    if (!this.expiresAt || !this.refreshToken) return;
    // Refresh 5 minutes before expiry
    const refreshAt = this.expiresAt - 5 * 60 * 1000;
    const delay = refreshAt - Date.now();
    if (delay > 0) {
      setTimeout(async () => {
        await this.refresh();
      }, delay);
    }
  }

  async refresh() {
    if (!this.refreshToken) return;
    try {
      const tokens = await this.oauth2.refreshToken(this.refreshToken);
      this.setTokens(tokens);
    } catch (error) {
      console.error('Token refresh failed:', error);
      // Redirect to login
      window.location.href = '/login';
    }
  }

  clear() {
    this.accessToken = null;
    this.refreshToken = null;
    this.expiresAt = null;
  }
}

export class ApiClient {
  constructor(
    private readonly baseUrl: string,
    private readonly tokenManager: TokenManager,
  ) {}

  async fetch(path: string, options: RequestInit = {}): Promise<Response> {
    const accessToken = this.tokenManager.getAccessToken();
    if (!accessToken) {
      throw new Error('Not authenticated');
    }
    const response = await fetch(`${this.baseUrl}${path}`, {
      ...options,
      headers: {
        ...options.headers,
        Authorization: `Bearer ${accessToken}`,
        'Content-Type': 'application/json',
      },
    });
    // Handle token expiry
    if (response.status === 401) {
      // Try to refresh
      await this.tokenManager.refresh();
      // Retry request
      const newToken = this.tokenManager.getAccessToken();
      if (newToken) {
        return fetch(`${this.baseUrl}${path}`, {
          ...options,
          headers: {
            ...options.headers,
            Authorization: `Bearer ${newToken}`,
            'Content-Type': 'application/json',
          },
        });
      }
    }
    return response;
  }
}
