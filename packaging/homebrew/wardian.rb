# A formula for Homebrew on Linux. Never run. The address and the sums are filled in by the release: see
# docs/releasing.md.
class Wardian < Formula
  desc "Runs WebAssembly programs in a sandbox, and shows what they do"
  license any_of: ["MIT", "Apache-2.0"]
  version "@VERSION@"
  depends_on :linux

  on_intel do
    url "@URL@/wardian-@VERSION@-x86_64-linux.tar.gz"
    sha256 "@SHA256_X86_64@"
  end
  on_arm do
    url "@URL@/wardian-@VERSION@-aarch64-linux.tar.gz"
    sha256 "@SHA256_AARCH64@"
  end

  def install
    bin.install "bin/wardian"
    man1.install Dir["share/man/man1/*"]
    bash_completion.install "share/bash-completion/completions/wardian"
    zsh_completion.install "share/zsh/site-functions/_wardian"
    fish_completion.install "share/fish/vendor_completions.d/wardian.fish"
  end

  test do
    (testpath/"seven.wat").write '(module (func (export "seven") (result i32) (i32.const 7)))'
    assert_match "7", shell_output("#{bin}/wardian run --invoke seven seven.wat")
  end
end
