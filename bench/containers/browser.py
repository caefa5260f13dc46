"""Starts a headless browser on the server's page and runs jobs in it, one after the other."""
import os
import queue
import shutil
import subprocess
import tempfile
import threading

COMMANDS = {
    "chromium": lambda profile, url: ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--mute-audio",
                                      "--disable-background-networking", "--disable-component-update", "--disable-sync",
                                      "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={profile}", url],
    "firefox": lambda profile, url: ["firefox-esr", "--headless", "--no-remote", "--profile", profile, url],
}
FIREFOX = ('user_pref("media.autoplay.default", 0);\nuser_pref("browser.shell.checkDefaultBrowser", false);\n'
           'user_pref("privacy.reduceTimerPrecision", false);\nuser_pref("datareporting.policy.dataSubmissionEnabled", false);\n'
           'user_pref("browser.aboutwelcome.enabled", false);\nuser_pref("toolkit.telemetry.reportingpolicy.firstRun", false);\n'
           'user_pref("app.update.enabled", false);\nuser_pref("network.captive-portal-service.enabled", false);\n')


def available(name):
    return shutil.which(COMMANDS[name]("", "")[0]) is not None


class Browser:
    def __init__(self, name, server):
        self.server, self.number = server, 0
        self.profile = tempfile.mkdtemp(prefix="containers-")
        if name == "firefox":
            with open(os.path.join(self.profile, "user.js"), "w") as file:
                file.write(FIREFOX)
        self.process = subprocess.Popen(COMMANDS[name](self.profile, server.address + "/page"), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.lock = threading.Lock()

    def run(self, path, actions, options="", patience=60, preload="auto", run=None):
        """One load. @return what page.html reports; with "key", by which the server recorded the requests"""
        with self.lock:
            self.number += 1
            key = run or f"{id(self)}-{self.number}"
            url = f"{self.server.address}/f/{path}?run={key}" + (f"&{options}" if options else "")
            self.server.jobs.put({"run": key, "url": url, "actions": actions, "patience": patience, "preload": preload})
            try:
                result = self.server.results.get(timeout=patience * (len(actions) + 3) + 60)
            except queue.Empty:
                raise RuntimeError("the browser reports nothing") from None
            assert result["run"] == key
            return {**result, "key": key}

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)
