// Plays a video in the distribution's Chromium and prints what happened as JSON.
//   node play.mjs /usr/bin/chromium URL play:SECONDS|seek:SECONDS ...
// Each action is awaited by the media element's own events; nothing waits for a fixed time.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [executablePath, url, ...actions] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), 'vr-chromium-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--mute-audio', '--autoplay-policy=no-user-gesture-required'],
});
try {
  const page = await context.newPage();
  page.setDefaultTimeout(100000);
  // A page of the same origin, so that nothing is blocked; its own content does not matter.
  await page.goto(new URL('/healthz', url).href);
  const result = await page.evaluate(async ({ url, actions }) => {
    const video = document.createElement('video');
    video.muted = true;
    video.preload = 'auto';
    document.body.replaceChildren(video);
    const failed = new Promise((_, reject) => {
      video.addEventListener('error', () => reject(new Error(`${video.error.code}: ${video.error.message}`)));
    });
    const event = (name) => new Promise((resolve) => video.addEventListener(name, resolve, { once: true }));
    const within = (promise, what) => Promise.race([promise, failed, new Promise((_, reject) => {
      setTimeout(() => reject(new Error(`${what}: nothing happened for 40 s; at ${video.currentTime} s, ready ${video.readyState}, network ${video.networkState}`)), 40000);
    })]);
    const out = { error: null, seeks: [] };
    try {
      const loaded = event('loadeddata');
      video.src = url;
      await within(loaded, 'load');
      for (const action of actions) {
        const [name, value] = [action.split(':')[0], Number(action.split(':')[1])];
        if (name === 'play') {
          const goal = video.currentTime + value;
          await within(video.play(), 'play');
          while (video.currentTime < goal) await within(event('timeupdate'), 'playing');
          video.pause();
        } else if (name === 'seek') {
          const done = event('seeked');
          video.currentTime = value;
          await within(done, `seek to ${value}`);
          out.seeks.push({ at: video.currentTime, shown: video.readyState >= 2 });
        }
      }
    } catch (e) {
      out.error = String(e.message);
    }
    const ranges = video.seekable;
    return { ...out, width: video.videoWidth, height: video.videoHeight, duration: video.duration, played: video.currentTime,
      seekableEnd: ranges.length ? ranges.end(ranges.length - 1) : 0,
      audio: video.webkitAudioDecodedByteCount > 0, frames: video.getVideoPlaybackQuality().totalVideoFrames };
  }, { url, actions });
  console.log(JSON.stringify(result));
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
