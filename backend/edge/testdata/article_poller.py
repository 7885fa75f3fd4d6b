"""The article's edge aggregator: one session.get a node, gathered by asyncio, aiohttp's connector at its default
limit of 100. It reads node URLs from standard input and prints the seconds and the processor seconds each round took, one round a
line read.

argv[1]: "article" opens a session for each round, as the article does; "kept" keeps one over all rounds.
"""

import asyncio
import sys
import time

import aiohttp


async def fetch(session, url):
    try:
        async with session.get(f"{url}/data/summary", timeout=aiohttp.ClientTimeout(total=600)) as response:
            if response.status == 200:
                data = await response.json()
                return {
                    "node_url": url,
                    "record_count": data["record_count"],
                    "quality_score": data["quality_score"],
                    "last_updated": data["last_updated"],
                    "status": "success",
                }
            return {"node_url": url, "status": "error", "error_code": response.status}
    except Exception as error:
        return {"node_url": url, "status": "error", "error_message": str(error)}


async def collect(session, urls):
    results = await asyncio.gather(*(fetch(session, url) for url in urls))
    good = [r for r in results if r["status"] == "success"]
    return sum(r["record_count"] for r in good), len(good)


async def one_round(urls, kept):
    began = time.perf_counter()
    if kept is not None:
        _, good = await collect(kept, urls)
    else:
        async with aiohttp.ClientSession() as session:
            _, good = await collect(session, urls)
    return time.perf_counter() - began, good


async def main():
    urls = sys.stdin.readline().split()
    kept = aiohttp.ClientSession() if sys.argv[1] == "kept" else None
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while (await loop.run_in_executor(None, sys.stdin.readline)).strip() == "go":
        before = time.process_time()
        seconds, good = await one_round(urls, kept)
        print(f"{seconds:.6f} {time.process_time() - before:.6f} {good}", flush=True)
    if kept is not None:
        await kept.close()


asyncio.run(main())
